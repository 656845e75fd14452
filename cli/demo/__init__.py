"""`coffer demo`: the main job from sealing to royalties, on this machine, with real parts."""
