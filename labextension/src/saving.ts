/* Which documents of this tab have changes, and are they saved now? Others' tabs save theirs themselves. */

import { JupyterFrontEnd } from '@jupyterlab/application';
import { PathExt } from '@jupyterlab/coreutils';
import { IDocumentManager } from '@jupyterlab/docmanager';

export interface ISaved {
  saved: string[];
  failed: string[];
}

const AREAS = ['main', 'down', 'left', 'right'];

/** Saves every changed document that may be written; resolves with names when all have been tried. */
export async function saveChanged(shell: JupyterFrontEnd.IShell, documents: IDocumentManager): Promise<ISaved> {
  const changed = new Set(
    AREAS.flatMap(area => [...shell.widgets(area)])
      .map(widget => documents.contextForWidget(widget))
      .filter(context => context?.model.dirty && context.contentsModel?.writable !== false)
  );
  const result: ISaved = { saved: [], failed: [] };
  await Promise.all(
    [...changed].map(async context => {
      const name = PathExt.basename(context!.path);
      try {
        await context!.save();
        result.saved.push(name);
      } catch {
        result.failed.push(name); // JupyterLab has shown why
      }
    })
  );
  return result;
}
