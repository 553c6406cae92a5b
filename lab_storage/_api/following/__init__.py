"""Many pods followed by one watch: what is known of them, as of when, and how it is kept so."""
