# For the people who may hand their identity token to the pipeline: they can write it, and not read what others wrote. Its metadata
# is written first, and after that Vault asks for no "create".
path "secret/data/limitless/identity" {
  capabilities = ["update"]
}
path "secret/metadata/limitless/identity" { # one version only, which ends by itself
  capabilities = ["create", "read", "update"]
}
