"""Other systems on the same machine: each file installs nothing by itself, starts one peer, drives it, stops it."""
