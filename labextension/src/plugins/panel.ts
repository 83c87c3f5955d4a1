/* Who adds the side panel? This one: left, while this is a sandbox, and restored with the page's layout. */

import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { PageConfig, URLExt } from '@jupyterlab/coreutils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { localeName } from '../format';
import { sandboxIcon } from '../icon';
import { DEFAULTS } from '../preferences';
import { CommandIDs, DOMAIN, IPreferences, ISandboxModel, PANEL_ID } from '../tokens';
import { SandboxPanel } from '../views/panel';

const RANK = 800;
const UNKNOWN = 'jp-sandbox-unknown';

export const panelPlugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-sandbox-spawner:panel',
  description: 'Time, quotas, secrets, network, datasets and experiments of this sandbox, at the side.',
  autoStart: true,
  requires: [ISandboxModel],
  optional: [ITranslator, ILayoutRestorer, IPreferences],
  activate: (
    app: JupyterFrontEnd,
    model: ISandboxModel,
    translator: ITranslator | null,
    restorer: ILayoutRestorer | null,
    preferences: IPreferences | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const panel = new SandboxPanel({
      model,
      trans,
      place: { locale: localeName(translator?.languageCode) },
      preferences: preferences ?? DEFAULTS,
      baseUrl: PageConfig.getBaseUrl(),
      hubUrl: hubUrl(),
      stop: async () => (await app.commands.execute(CommandIDs.stop)) === true
    });
    panel.id = PANEL_ID;
    panel.title.icon = sandboxIcon;
    panel.title.caption = trans.__('Sandbox: time, quotas, secrets, network');
    restorer?.add(panel, PANEL_ID);
    follow(app, model, panel);
  }
};

/** In the shell from the start, so that an open panel is restored; its tab appears once this is a sandbox. */
function follow(app: JupyterFrontEnd, model: ISandboxModel, panel: SandboxPanel): void {
  const add = () => app.shell.add(panel, 'left', { rank: RANK, type: 'Sandbox' });
  panel.title.className = UNKNOWN;
  add();
  model.changed.connect(() => {
    if (!model.isActive) {
      if (model.trouble === null) {
        panel.parent = null; // known to be no sandbox, and not just silent
      }
      return;
    }
    panel.title.className = '';
    if (panel.parent === null) {
      add();
    }
  });
}

/** The hub's page of this server, which says why it ended and starts it again; empty where there is no hub. */
function hubUrl(): string {
  const [host, prefix, user, server] = ['hubHost', 'hubPrefix', 'hubUser', 'hubServerName'].map(name =>
    PageConfig.getOption(name)
  );
  if (!prefix) {
    return '';
  }
  const page = user ? ['user', encodeURIComponent(user), encodeURIComponent(server), 'lab'] : ['home'];
  return URLExt.join(host, prefix, ...page.filter(Boolean));
}
