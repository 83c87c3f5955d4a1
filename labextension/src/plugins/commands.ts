/* What can be done by palette, menu and keys? Each command here; schema/commands.json gives keys and menu. */

import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Dialog, ICommandPalette, Notification, showDialog } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator, TranslationBundle } from '@jupyterlab/translation';
import { askForAccess } from '../ask';
import { sandboxIcon } from '../icon';
import { OneToast } from '../one-toast';
import { saveChanged } from '../saving';
import { refusal } from '../toast-words';
import { CommandIDs, DOMAIN, ISandboxModel, PANEL_ID } from '../tokens';

const ID = 'jupyter-sandbox-spawner:commands';
const HOUR = 3600;

export const commandsPlugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: 'Extends, keeps and stops this sandbox, opens its panel, asks for a host.',
  autoStart: true,
  requires: [ISandboxModel],
  optional: [ICommandPalette, ITranslator, IDocumentManager, ISettingRegistry],
  activate: (
    app: JupyterFrontEnd,
    model: ISandboxModel,
    palette: ICommandPalette | null,
    translator: ITranslator | null,
    documents: IDocumentManager | null,
    registry: ISettingRegistry | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const all = { ...lifeCommands(model, trans), ...panelCommands(app, model, trans) };
    all[CommandIDs.stop] = stopCommand(app, model, documents, trans);
    for (const [id, options] of Object.entries(all)) {
      app.commands.addCommand(id, { ...options, isVisible: () => model.isActive, isEnabled: () => model.isActive });
      palette?.addItem({ command: id, category: trans.__('Sandbox') });
    }
    registry?.load(ID).catch(error => console.warn('Sandbox: no keys and no menu entry.', error));
    let wasActive = model.isActive;
    model.changed.connect(() => {
      if (wasActive !== model.isActive) {
        wasActive = model.isActive;
        Object.keys(all).forEach(id => app.commands.notifyCommandChanged(id));
      }
    });
  }
};

type Command = Parameters<JupyterFrontEnd['commands']['addCommand']>[1];
type Commands = { [id: string]: Command };

function lifeCommands(model: ISandboxModel, trans: TranslationBundle): Commands {
  const by = trans.__('Seconds; left out: as long as one extension is');
  return {
    [CommandIDs.extend]: {
      label: trans.__('Extend the Sandbox'),
      caption: trans.__('Move the end of this sandbox further off'),
      icon: sandboxIcon,
      describedBy: { args: described({ by: { type: 'integer', minimum: 1, description: by } }) },
      execute: ({ by }) => told(trans, () => model.extend(typeof by === 'number' ? by : undefined))
    },
    [CommandIDs.keep]: {
      label: trans.__('Keep the Sandbox While It Is Not Used'),
      caption: trans.__('It does not stop for idleness for an hour'),
      describedBy: {
        args: described({ by: { type: 'integer', minimum: 0, description: trans.__('Seconds from now; 0: no longer') } })
      },
      execute: async ({ by }) => {
        const done = await told(trans, () => model.keep(typeof by === 'number' ? by : HOUR));
        if (done) {
          const text = done.keep_until
            ? trans.__('It is kept although nobody uses it.')
            : trans.__('It stops when nobody uses it.');
          Notification.success(text, { autoClose: 5000 });
        }
        return done;
      }
    }
  };
}

function panelCommands(app: JupyterFrontEnd, model: ISandboxModel, trans: TranslationBundle): Commands {
  return {
    [CommandIDs.openPanel]: {
      label: trans.__('Show Sandbox'),
      caption: trans.__('Time left, limits, secrets, network, datasets and experiments'),
      icon: sandboxIcon,
      describedBy: { args: described({}) },
      execute: () => app.shell.activateById(PANEL_ID)
    },
    [CommandIDs.refresh]: {
      label: trans.__('Refresh the Sandbox'),
      caption: trans.__('Ask now how this sandbox is'),
      describedBy: { args: described({}) },
      execute: async () => {
        await model.refresh();
        if (model.trouble) {
          Notification.error(refusal(model.trouble, trans), { autoClose: 5000 });
        }
      }
    },
    [CommandIDs.ask]: {
      label: trans.__('Ask for Access to a Host…'),
      caption: trans.__('An administrator decides; you are told'),
      describedBy: {
        args: described({
          host: { type: 'string', description: trans.__('The host') },
          port: { type: 'integer', minimum: 1, maximum: 65535, description: trans.__('The port; left out: 443') },
          why: { type: 'string', description: trans.__('What it is needed for') }
        })
      },
      execute: async args => {
        const start = { host: text(args.host), port: Number(args.port) || 443, why: text(args.why) };
        const isSent = await askForAccess(start, a => model.askForAccess(a.host, a.port, a.why), trans);
        if (isSent) {
          Notification.success(trans.__('Asked. You are told when it is decided.'), { autoClose: 5000 });
        }
        return isSent;
      }
    }
  };
}

function stopCommand(
  app: JupyterFrontEnd,
  model: ISandboxModel,
  documents: IDocumentManager | null,
  trans: TranslationBundle
): Command {
  return {
    label: trans.__('Stop the Sandbox…'),
    caption: trans.__('Stop this server, after you have confirmed it'),
    describedBy: { args: described({}) },
    execute: async () => {
      const answer = await showDialog({
        title: trans.__('Stop this sandbox?'),
        body: trans.__('Kernels and terminals end, and what is only in memory is lost.'),
        buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__('Stop') })],
        defaultButton: 0,
        checkbox: documents && { label: trans.__('Save all changed documents first'), checked: true }
      });
      if (!answer.button.accept) {
        return false;
      }
      const done =
        documents && answer.isChecked ? await saveChanged(app.shell, documents) : { saved: [], failed: [] };
      if (done.failed.length) {
        Notification.error(trans.__('It was not stopped: %1 was not saved.', done.failed.join(', ')));
        return false;
      }
      return (await told(trans, () => model.stop().then(() => true))) ?? false;
    }
  };
}

const refused = new OneToast();

/** The answer, or null after the refusal was shown. */
async function told<T>(trans: TranslationBundle, act: () => Promise<T>): Promise<T | null> {
  try {
    const answer = await act();
    refused.dismiss();
    return answer;
  } catch (error) {
    refused.put(refusal(error as Error, trans), 'error', { autoClose: false });
    return null;
  }
}

function described(properties: { [name: string]: { [name: string]: string | number } }) {
  return { type: 'object', additionalProperties: false, properties };
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
