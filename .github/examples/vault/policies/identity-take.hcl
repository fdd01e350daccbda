# For the job that applies: it reads the identity token that a person handed over, and claims it by writing over it: the path keeps
# one version.
path "secret/data/limitless/identity" {
  capabilities = ["read", "update"]
}
