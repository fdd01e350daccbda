# What `bootstrap`, `apply`, `rotate`, `rollback`, `adopt` and `verify` need. Nothing can be destroyed with it.
path "secret/data/limitless/tokens/*" {
  capabilities = ["create", "read", "update"]
}
path "secret/metadata/limitless/tokens/*" {
  capabilities = ["read", "list"]
}
path "secret/delete/limitless/tokens/*" { # soft-deletes versions by number
  capabilities = ["update"]
}
path "secret/undelete/limitless/tokens/_reserve/*" { # a successor that somebody deleted
  capabilities = ["update"]
}

# The roles give no `default` policy, so these two have to be granted: to end the token when the work is done, and to tell a
# token that has expired from one that may not do something.
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
