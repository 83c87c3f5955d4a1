"""The ways out to other programs: each a small port with typed results."""
