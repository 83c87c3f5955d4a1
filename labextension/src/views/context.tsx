/* What do all views of the panel share? The model, the words, and whether anybody looks. */

import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import type { IPlace } from '../format';
import type { IThresholds } from '../time';
import type { ISandboxModel } from '../tokens';

export interface IPanelContext {
  model: ISandboxModel;
  trans: TranslationBundle;
  place: IPlace;
  /** what its user set: when it turns amber and red */
  preferences: { readonly thresholds: IThresholds };
  /** false while the panel is behind another one: nothing ticks then */
  shown: boolean;
  /** where the server is: logging in again begins there */
  baseUrl: string;
  /** the hub's page of this server; empty where there is no hub */
  hubUrl: string;
  /** Asks whether to stop, and what to save; true: it was told to stop. */
  stop: () => Promise<boolean>;
}

export const PanelContext = React.createContext<IPanelContext | null>(null);

/** The context of the panel that this view is in. */
export function usePanel(): IPanelContext {
  const context = React.useContext(PanelContext);
  if (context === null) {
    throw new Error('views of the sandbox live in its panel only');
  }
  return context;
}

/** Now by the server's clock; draws this view again each second while somebody looks. */
export function useNow(): number {
  const { model, shown } = usePanel();
  const [, tick] = React.useReducer((count: number) => count + 1, 0);
  React.useEffect(() => {
    if (!shown) {
      return;
    }
    const seen = () => {
      if (!document.hidden) {
        tick();
      }
    };
    const timer = window.setInterval(seen, 1000);
    document.addEventListener('visibilitychange', seen);
    return () => {
      window.clearInterval(timer);
      document.removeEventListener('visibilitychange', seen);
    };
  }, [shown]);
  return model.now();
}
