"""Flow runs that wait for somebody: paused in their process or suspended without one, and how they are answered."""
