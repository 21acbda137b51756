"""One index over all recordings: who, what and when (docs/ARCHIVE.md).

query     what somebody asks, parsed        words     how text becomes words
index     what is kept of a recording       refresh   results into the index
sqlite, postgresql  where it is kept        feed      learns of new ones
search    an index asked                    moments   what is found
"""
