"""From packets to sound: timelines, codecs, rendering into audio files. Used by the media server and the recorder."""
