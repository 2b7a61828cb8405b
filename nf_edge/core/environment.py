"""Environment variables that replace command-line options."""

# The file with the signer's public key; the password of an encrypted private key.
PUBLIC_KEY, KEY_PASSWORD = "NF_EDGE_PUBLIC_KEY", "NF_EDGE_KEY_PASSWORD"
# The job summary of GitHub Actions.
JOB_SUMMARY = "GITHUB_STEP_SUMMARY"
