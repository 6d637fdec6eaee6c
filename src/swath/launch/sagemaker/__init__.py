"""Stages as Amazon SageMaker jobs: requests made by pure functions, one thin client, our own first process.

    job.py       what is asked, checked and resolved          request.py   job -> the request, a dict
    wheel.py     swath itself as a wheel, for the container   submit.py    upload and create, or a dry run
    limits.py    what AWS would refuse of it
    entry.py     the first process of the container           following.py status, logs, stop, results
Nothing here needs torch, and only `aws.py` imports boto3.
"""
