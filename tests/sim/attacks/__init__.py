"""What a Byzantine validator does: one small file per attack, each the real node with something twisted."""
