/* Which plugins are in this extension? One file each, in plugins/. */

import { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { commandsPlugin } from './plugins/commands';
import { modelPlugin } from './plugins/model';
import { panelPlugin } from './plugins/panel';
import { settingsPlugin } from './plugins/settings';
import { statusPlugin } from './plugins/status';
import { toastsPlugin } from './plugins/toasts';

const plugins: JupyterFrontEndPlugin<any>[] = [
  settingsPlugin,
  modelPlugin,
  statusPlugin,
  toastsPlugin,
  commandsPlugin,
  panelPlugin
];

export default plugins;
