"""Where frames come from: the Pi's camera, webcams, recordings, another Pi's camera, drawn hands.

`opening` knows the words that name each on a command line; the others are one source each, with
what several need: `turning` pictures, and the note of how they were `taken`. A frame, and what a
source is, stand in `edge.frame`.
"""
