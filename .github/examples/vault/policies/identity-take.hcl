# For the job that applies: it reads the identity token that a person handed over, claims it, and destroys it.
path "secret/data/limitless/identity" {
  capabilities = ["read", "update"]
}
path "secret/destroy/limitless/identity" {
  capabilities = ["update"]
}
