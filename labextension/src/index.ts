/* Which plugins are in this extension? One file each, in plugins/. */

import { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { modelPlugin } from './plugins/model';
import { panelPlugin } from './plugins/panel';

const plugins: JupyterFrontEndPlugin<any>[] = [modelPlugin, panelPlugin];

export default plugins;
