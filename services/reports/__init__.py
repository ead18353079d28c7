"""Reports and figures of a day, made from its recorded events. Pure but for the templates."""
