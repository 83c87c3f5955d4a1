/* What stands for the sandbox in tabs and the status bar? A box seen from its corner, in the theme's colours. */

import { LabIcon } from '@jupyterlab/ui-components';

export const sandboxIcon = new LabIcon({
  name: 'jupyter-sandbox-spawner:sandbox',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <path class="jp-icon3" fill="#616161" fill-rule="evenodd"
    d="M12 1.6 21 6.7v10.6l-9 5.1-9-5.1V6.7zM5.9 7.3 12 10.8l6.1-3.5L12 3.9zM5 9.1v7.1l6 3.4v-7.1zM13 12.5v7.1l6-3.4V9.1z"/>
</svg>`
});
