/* Who adds the side panel? This one: left, while this server is a sandbox, restored with the page's layout. */

import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { PageConfig, URLExt } from '@jupyterlab/coreutils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { localeName } from '../format';
import { sandboxIcon } from '../icon';
import { CommandIDs, DOMAIN, ISandboxModel } from '../tokens';
import { SandboxPanel } from '../views/panel';

const PANEL_ID = 'jp-sandbox-panel';
const RANK = 800;
const UNKNOWN = 'jp-sandbox-unknown';

export const panelPlugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-sandbox-spawner:panel',
  description: 'Time, quotas, secrets, network, datasets and experiments of this sandbox, at the side.',
  autoStart: true,
  requires: [ISandboxModel],
  optional: [ITranslator, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    model: ISandboxModel,
    translator: ITranslator | null,
    restorer: ILayoutRestorer | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const panel = new SandboxPanel({
      model,
      trans,
      place: { locale: localeName(translator?.languageCode) },
      baseUrl: PageConfig.getBaseUrl(),
      hubUrl: hubUrl()
    });
    panel.id = PANEL_ID;
    panel.title.icon = sandboxIcon;
    panel.title.caption = trans.__('Sandbox: time, quotas, secrets, network');
    restorer?.add(panel, PANEL_ID);
    follow(app, model, panel);
    app.commands.addCommand(CommandIDs.ask, {
      label: trans.__('Ask for Access to a Host…'),
      isVisible: () => model.isActive,
      describedBy: { args: ASK_ARGS },
      execute: args => {
        app.shell.activateById(PANEL_ID);
        panel.ask(String(args.host ?? ''), Number(args.port ?? 443));
      }
    });
  }
};

const ASK_ARGS = {
  type: 'object',
  properties: {
    host: { type: 'string', description: 'The name of the host' },
    port: { type: 'number', description: 'Its port, 443 unless it is said' }
  }
};

/** In the shell from the start, so that an open panel is restored; its tab appears once this is a sandbox. */
function follow(app: JupyterFrontEnd, model: ISandboxModel, panel: SandboxPanel): void {
  const add = () => app.shell.add(panel, 'left', { rank: RANK, type: 'Sandbox' });
  panel.title.className = UNKNOWN;
  add();
  model.changed.connect(() => {
    if (!model.isActive) {
      panel.parent = null;
      return;
    }
    panel.title.className = '';
    if (panel.parent === null) {
      add();
    }
  });
}

function hubUrl(): string {
  const prefix = PageConfig.getOption('hubPrefix');
  return prefix ? URLExt.join(PageConfig.getOption('hubHost'), prefix) : '';
}
