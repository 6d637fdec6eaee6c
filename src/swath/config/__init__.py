"""Every setting a user can ask for; one frozen model a command, one file a stage.

The command line, a `--config` file and the Python functions are all made from these models. Unknown keys are
errors. What a run really used is another type: `swath.pretraining.recipe.Recipe`, saved in the run.
"""

from swath.config.download import DownloadConfig
from swath.config.explore import ExploreConfig
from swath.config.finetune import FinetuneConfig
from swath.config.prepare import AuditConfig, DescribeConfig, IndexConfig, PackConfig, SplitConfig
from swath.config.pretraining import PretrainConfig, ReplayConfig
from swath.config.search import SearchConfig
from swath.config.serving import BundleConfig, PredictConfig, VerifyConfig
from swath.config.settings import Settings
from swath.config.tour import DemoConfig, DoctorConfig
from swath.config.transfer import EmbedConfig, LadderConfig, ProbeConfig, ReportConfig
from swath.config.weights import ExportConfig, ImportConfig

__all__ = [
    "AuditConfig",
    "BundleConfig",
    "DemoConfig",
    "DescribeConfig",
    "DoctorConfig",
    "DownloadConfig",
    "EmbedConfig",
    "ExploreConfig",
    "ExportConfig",
    "FinetuneConfig",
    "ImportConfig",
    "IndexConfig",
    "LadderConfig",
    "PackConfig",
    "PredictConfig",
    "PretrainConfig",
    "ProbeConfig",
    "ReplayConfig",
    "ReportConfig",
    "SearchConfig",
    "Settings",
    "SplitConfig",
    "VerifyConfig",
]
