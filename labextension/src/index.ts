/* Which plugins are in this extension? One file each, in plugins/. */

import { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { modelPlugin } from './plugins/model';

const plugins: JupyterFrontEndPlugin<any>[] = [modelPlugin];

export default plugins;
