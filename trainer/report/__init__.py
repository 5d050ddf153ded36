"""`report.html`: what a training found, with the pictures that show it, and what to do next.

`findings` brings together what is said: `advice` with the `suspects` and the `copies`, and what the
network looks at (`explain`). `page` writes it down, with `charts`, a `gallery` and its
`thumbnails`.
"""
