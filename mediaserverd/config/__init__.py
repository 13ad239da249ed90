"""Configuration: YAML -> frozen settings of each role, all faults at once, each with file, line and path."""

from mediaserverd.config.document import ConfigError, Fault
from mediaserverd.config.load import STATION_FILE, Config, load_config

__all__ = ["STATION_FILE", "Config", "ConfigError", "Fault", "load_config"]
