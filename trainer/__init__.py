"""What runs on the laptop: pictures -> two-layer network -> model.onnx, and how good it is.

`trainer.network` and `trainer.training` are the network and how it learns, `trainer.recipe` is how
a gesture is taught with them, `trainer.export` puts everything into one file.
"""
