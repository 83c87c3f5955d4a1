/* Which toasts does a user get? One for each end that is near, changed in place, and answers to what she asked. */

import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { DOMAIN, IPreferences, ISandboxModel } from '../tokens';
import { Toasts } from '../toasts';

export const toastsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-sandbox-spawner:toasts',
  description: 'Warns before the sandbox stops, saves when it is asked to, and tells of answers.',
  autoStart: true,
  requires: [ISandboxModel],
  optional: [IPreferences, IDocumentManager, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: ISandboxModel,
    preferences: IPreferences | null,
    documents: IDocumentManager | null,
    translator: ITranslator | null
  ): void => {
    const language = translator ?? nullTranslator;
    new Toasts({ app, model, preferences, documents, trans: language.load(DOMAIN), language });
  }
};
