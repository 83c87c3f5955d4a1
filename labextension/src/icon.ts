/* Which sign stands for a sandbox? A hexagon, in the colour of the text beside it. */

import { LabIcon } from '@jupyterlab/ui-components';

const SVG = `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 16 16" fill="none"
 stroke="currentColor" stroke-width="1.6" stroke-linejoin="round" aria-hidden="true">
<path d="M8 1.5 13.6 4.75v6.5L8 14.5l-5.6-3.25v-6.5z"/><path d="M8 5v3.2l2.2 1.3" stroke-linecap="round"/></svg>`;

export const sandboxIcon = new LabIcon({ name: 'jupyter-sandbox-spawner:sandbox', svgstr: SVG });
