"""What somebody who keeps to a client of AWS writes as the program of a job."""

PROGRAM = """import sys

from swath.launch.sagemaker.entry import main

sys.exit(main())
"""
