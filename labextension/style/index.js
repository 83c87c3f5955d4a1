import './base.css';
import './controls.css';
import './facts.css';
import './status.css';
