/* What did the user set, in Settings > Sandbox? Without a registry of settings, the defaults hold. */

import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ISignal, Signal } from '@lumino/signaling';
import { DEFAULTS, IPreferencesValues, preferencesOf } from '../preferences';
import { IPreferences } from '../tokens';

const ID = 'jupyter-sandbox-spawner:settings';

class Preferences implements IPreferences {
  get thresholds() {
    return this.values.thresholds;
  }

  get poll(): boolean {
    return this.values.poll;
  }

  get toasts(): boolean {
    return this.values.toasts;
  }

  get changed(): ISignal<IPreferences, void> {
    return this._changed;
  }

  set(values: IPreferencesValues): void {
    this.values = values;
    this._changed.emit(undefined);
  }

  private values = DEFAULTS;
  private _changed = new Signal<this, void>(this);
}

export const settingsPlugin: JupyterFrontEndPlugin<IPreferences> = {
  id: ID,
  description: 'When time left turns amber and red, and what is told.',
  autoStart: true,
  optional: [ISettingRegistry],
  provides: IPreferences,
  activate: (app: JupyterFrontEnd, registry: ISettingRegistry | null): IPreferences => {
    const preferences = new Preferences();
    registry?.load(ID).then(
      settings => {
        const read = () => preferences.set(preferencesOf(settings.composite));
        settings.changed.connect(read);
        read();
      },
      error => console.warn('Sandbox: the defaults hold, for its settings were not read.', error)
    );
    return preferences;
  }
};
