"""Where pictures come from: a camera (`capture`, `viewfinder`), or others' archives.

`teachable` says what is in one of Teachable Machine's, or in any zip of class folders; `archive`
opens it, `label_lists` names its classes, and through `staging` all of it arrives or nothing.
"""
