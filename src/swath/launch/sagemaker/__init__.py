"""Stages as Amazon SageMaker jobs: requests made by pure functions, one thin client, our own first process.

    job.py       what is asked, checked and resolved          request.py   job -> the request, a dict
    limits.py    what AWS would refuse of a request           wheel.py     swath itself, for the container
    submit.py    upload and create, or a dry run              found.py     a job by its name, of either kind
    entry.py     first process of a training container        following.py status, logs, stop, results
    processing_entry.py    that of a processing container     parts.py     what its machines made, joined
Nothing here needs torch, and only `aws.py` imports boto3.
"""
