# For OpenBao only, beside one of the other two: one call then brings the metadata of all paths, instead of one call a path. HashiCorp
# Vault knows no "scan" and refuses the file.
path "secret/detailed-metadata/limitless/tokens/*" {
  capabilities = ["scan"]
}
