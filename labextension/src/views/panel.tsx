/* What is in the side panel? A banner of what is wrong, six sections, and how new all this is. */

import { ReactWidget, refreshIcon } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import * as React from 'react';
import { agoText } from '../format';
import { IPanelContext, PanelContext, useNow, usePanel } from './context';
import { DatasetSection } from './datasets';
import { ExperimentSection } from './experiments';
import { NetworkSection } from './network';
import { QuotaSection } from './quotas';
import { SecretSection } from './secrets';
import { Nothing } from './section';
import { Code } from './text';
import { TimeSection } from './time';
import { Trouble } from './trouble';

/** The widget of the side panel; draws what the model knows, and nothing while it is not seen. */
export class SandboxPanel extends ReactWidget {
  constructor(private readonly around: Omit<IPanelContext, 'shown'>) {
    super();
    this.addClass('jp-sandbox-panel');
    around.model.changed.connect(this.update, this);
  }

  dispose(): void {
    this.around.model.changed.disconnect(this.update, this);
    super.dispose();
  }

  protected onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    this.update();
  }

  protected onAfterHide(msg: Message): void {
    super.onAfterHide(msg);
    this.update();
  }

  protected render(): JSX.Element {
    return (
      <PanelContext.Provider value={{ ...this.around, shown: this.isVisible }}>
        <Panel />
      </PanelContext.Provider>
    );
  }
}

function Panel(): JSX.Element {
  const { trans } = usePanel();
  return (
    <>
      <h2 className="jp-sandbox-title">{trans.__('Sandbox')}</h2>
      <div
        className="jp-sandbox-scroll"
        tabIndex={0}
        role="group"
        aria-label={trans.__('Sandbox: all sections')}
      >
        <Trouble />
        <Sections />
      </div>
      <Footer />
    </>
  );
}

function Sections(): JSX.Element | null {
  const { model, trans } = usePanel();
  const { known, trouble } = model;
  if (known === null) {
    return trouble === null ? <Nothing>{trans.__('Loading…')}</Nothing> : null;
  }
  const { sandbox, secrets, broker, egress, experiments } = known.view;
  if (sandbox === null) {
    return <Nothing>{trans.__('Nothing is known of this sandbox yet.')}</Nothing>;
  }
  return (
    <>
      <TimeSection sandbox={sandbox} />
      <QuotaSection sandbox={sandbox} />
      <SecretSection secrets={secrets} broker={broker} />
      <NetworkSection egress={egress} />
      <DatasetSection sandbox={sandbox} />
      <ExperimentSection experiments={experiments} />
      <p className="jp-sandbox-quiet">
        {trans.__('The same in a notebook:')} <Code value="%sandbox" /> {trans.__('and in a terminal:')}{' '}
        <Code value="jupyter sandbox" />
      </p>
    </>
  );
}

function Footer(): JSX.Element {
  const { model, trans } = usePanel();
  const now = useNow();
  const { known } = model;
  const [busy, setBusy] = React.useState(false);
  const refresh = async () => {
    setBusy(true);
    await model.refresh();
    setBusy(false);
  };
  return (
    <div className="jp-sandbox-footer">
      <span className="jp-sandbox-quiet">
        {known === null ? '' : trans.__('Updated %1', agoText(now - known.heard - known.skew, trans))}
      </span>
      <button
        type="button"
        className="jp-sandbox-icon"
        title={trans.__('Refresh')}
        aria-label={trans.__('Refresh')}
        aria-disabled={busy || undefined}
        onClick={() => void (busy ? null : refresh())}
      >
        <refreshIcon.react tag="span" width="16px" height="16px" />
      </button>
    </div>
  );
}
