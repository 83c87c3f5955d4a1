"""The kinds of place a sandbox can be: each renders a native request, checks it, and acts."""
