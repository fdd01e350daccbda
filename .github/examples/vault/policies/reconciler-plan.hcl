# What `plan`, `status` and `observe` need, for jobs on the main branch: the ledger, the metadata, and one secret, the manager's,
# which signs the list. With it a job can revoke every token, as the exchange knows no read-only token: keep it from pull requests.
path "secret/data/limitless/tokens/_ledger" {
  capabilities = ["read"]
}
path "secret/data/limitless/tokens/reconciler" { # not needed where LIMITLESS_TOKEN_ID and LIMITLESS_TOKEN_SECRET are set
  capabilities = ["read"]
}
path "secret/metadata/limitless/tokens/*" {
  capabilities = ["read", "list"]
}

# The roles give no `default` policy, so these two have to be granted: to end the token when the work is done, and to tell a
# token that has expired from one that may not do something.
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
