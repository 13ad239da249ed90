"""Role recorder: fetches finished recordings, keeps store and catalogue, serves the REST API."""
