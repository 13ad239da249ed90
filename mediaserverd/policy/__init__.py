"""What the administrator has decided: facts -> verdict, with the name of the rule. Pure."""
