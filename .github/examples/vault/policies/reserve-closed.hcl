# For a consumer whose policy is broader than its own path: with this one beside it, it can't read the successors that are kept
# ready. Never for the roles of reconciler itself.
path "secret/data/limitless/tokens/_reserve/*" {
  capabilities = ["deny"]
}
path "secret/metadata/limitless/tokens/_reserve/*" {
  capabilities = ["deny"]
}
