"""Transcription as a service: the published REST queue, OpenAI's audio API and whisper-asr-webservice's, on one host.

    app        the HTTP application         border    who may ask, how often, and how much
    queue      the queue's routes           voice     the routes that answer at once
    jobs       the jobs in the database     pool      worker processes, and jobs while they run
    worker     what such a process does     wire      fetching and sending by URLs that users give

Outside this folder, only the command imports it. The contract is in docs/SERVICE.md.
"""
