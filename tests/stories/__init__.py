"""The main stories of the product, each told in a real browser on a real hub with real sandboxes."""
