/* Who gives the model to the other plugins? This one; without a sandbox it is there and says so. */

import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { SandboxModel } from '../model';
import { IPreferences, ISandboxModel } from '../tokens';

export const modelPlugin: JupyterFrontEndPlugin<ISandboxModel> = {
  id: 'jupyter-sandbox-spawner:model',
  description: 'Knows time left, limits and refusals of this sandbox.',
  autoStart: true,
  optional: [IPreferences],
  provides: ISandboxModel,
  activate: (app: JupyterFrontEnd, preferences: IPreferences | null): ISandboxModel => {
    const model = new SandboxModel(app.serviceManager);
    preferences?.changed.connect(() => {
      model.polls = preferences.poll;
    });
    // Not before the page can be used: what the model tells is drawn, and nobody waits for it.
    void app.restored.then(() => model.start());
    return model;
  }
};
