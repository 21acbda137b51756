"""What all recordings say and show, in one index: who, what and when (docs/ARCHIVE.md).

query     what somebody asks, parsed        words     how text becomes words
index     the SQLite file                   refresh   results into the index
search    an index asked                    moments   what is found
"""
