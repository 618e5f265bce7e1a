"""The console: the admin listener for people who would rather look than type.

Pages are made here, by Jinja2; one small script keeps what is live up to date, and everything else
works without it. ``console`` says which request is which page, ``entrance`` who may come in.
Whatever is changed goes through the same use cases as in the API.
"""
