"""The whole daemon with clients that are not ours: SIPp, baresip, PJSIP, curl."""
