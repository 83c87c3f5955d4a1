"""What does policy decide, by the typed rules and by a real OPA, and what if that one is broken?"""
