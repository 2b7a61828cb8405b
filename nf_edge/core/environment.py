"""Environment variables that stand for options of the command line."""

# The signer's public key, a file; and the password of a private key that is encrypted.
PUBLIC_KEY, KEY_PASSWORD = "NF_EDGE_PUBLIC_KEY", "NF_EDGE_KEY_PASSWORD"
