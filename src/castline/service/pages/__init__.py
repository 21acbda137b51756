"""The library in the browser: search, view and correct all recordings of a deployment (docs/ARCHIVE.md).

shelf      the deployment and its index, kept fresh      doorkeeper  who is there: sessions, CSRF
login      in and out                                    oidc        an OpenID provider
views      what is looked at                             actions     what is changed
files      recordings and results, by byte ranges        render      templates and headers
"""
