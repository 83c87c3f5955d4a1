/* Where is the time left always seen? In the status bar; Notebook 7 has none, and gets toasts and a menu entry. */

import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { DOMAIN, CommandIDs, IPreferences, ISandboxModel } from '../tokens';
import { StatusItem } from '../status';

export const statusPlugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-sandbox-spawner:status',
  description: 'Shows how much time this sandbox has left.',
  autoStart: true,
  requires: [ISandboxModel],
  optional: [IStatusBar, IPreferences, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: ISandboxModel,
    bar: IStatusBar | null,
    preferences: IPreferences | null,
    translator: ITranslator | null
  ): void => {
    if (!bar) {
      return;
    }
    const language = translator ?? nullTranslator;
    const item = new StatusItem({
      model,
      preferences,
      trans: language.load(DOMAIN),
      language,
      open: () => void app.commands.execute(CommandIDs.openPanel)
    });
    bar.registerStatusItem('jupyter-sandbox-spawner:status', {
      item,
      align: 'left',
      rank: 800,
      priority: 10,
      isActive: () => model.isActive,
      activeStateChanged: model.changed
    });
  }
};
