/* How does one ask for a host? An inline form: host, port and why; the answer is the admin's. */

import * as React from 'react';
import { Button, IAction } from './action';
import { usePanel } from './context';
import { visible } from './hostile';

const LONGEST = 500;

interface IOpenerProps {
  host: string;
  port: number;
  action: IAction;
  words?: string;
}

/** The button that becomes the form, and gets the focus back from it. */
export function AskOpener(props: IOpenerProps): JSX.Element {
  const { trans } = usePanel();
  const [open, setOpen] = React.useState(false);
  const button = React.useRef<HTMLButtonElement>(null);
  const closed = React.useRef(false);
  React.useEffect(() => {
    if (!open && closed.current) {
      button.current?.focus();
    }
    closed.current = open;
  }, [open]);
  if (open) {
    return <AskForm host={props.host} port={props.port} action={props.action} close={() => setOpen(false)} />;
  }
  const name = visible(`${props.host}:${props.port}`, 100).text;
  return (
    <div className="jp-sandbox-doing">
      <Button
        focus={button}
        onClick={() => setOpen(true)}
        label={props.host ? trans.__('Ask for access to %1', name) : undefined}
      >
        {props.words ?? trans.__('Ask for access')}
      </Button>
    </div>
  );
}

interface IFormProps {
  host: string;
  port: number;
  action: IAction;
  close: () => void;
}

interface IFields {
  host: string;
  port: string;
  why: string;
}

/** The form. Escape closes it; what is wrong is said beside its field. */
function AskForm(props: IFormProps): JSX.Element {
  const { model, trans } = usePanel();
  const start = { host: props.host, port: String(props.port), why: '' };
  const [fields, setFields] = React.useState<IFields>(start);
  const [tried, setTried] = React.useState(false);
  const wrong = useWrong(fields);
  const form = React.useRef<HTMLFormElement>(null);
  React.useEffect(() => {
    form.current?.querySelector<HTMLElement>(props.host ? 'textarea' : 'input')?.focus();
  }, [props.host]);
  const send = async (event: React.FormEvent) => {
    event.preventDefault();
    setTried(true);
    const first = (['host', 'port', 'why'] as const).find(name => wrong[name]);
    if (first) {
      form.current?.querySelector<HTMLElement>(`[name=${first}]`)?.focus();
      return;
    }
    const fine = await props.action.run(async () => {
      await model.askForAccess(fields.host.trim(), Number(fields.port), fields.why.trim());
      return trans.__('Asked. An admin decides; the answer appears here.');
    });
    if (fine) {
      props.close();
    }
  };
  const write = (name: keyof IFields, value: string) => setFields({ ...fields, [name]: value });
  const field = (name: keyof IFields, label: string) => ({
    name,
    label,
    value: fields[name],
    wrong: tried ? wrong[name] : '',
    write: (value: string) => write(name, value)
  });
  return (
    <form
      ref={form}
      className="jp-sandbox-form"
      aria-label={trans.__('Ask for access')}
      noValidate
      onSubmit={event => void send(event)}
      onKeyDown={event => {
        if (event.key === 'Escape') {
          event.stopPropagation();
          props.close();
        }
      }}
    >
      <div className="jp-sandbox-fields">
        <Field {...field('host', trans.__('Host'))} />
        <Field {...field('port', trans.__('Port'))} narrow />
      </div>
      <Field {...field('why', trans.__('Why'))} long />
      <span className="jp-sandbox-quiet">
        {trans.__('Your admin reads this. %1 of %2 characters', fields.why.length, LONGEST)}
      </span>
      <div className="jp-sandbox-doing">
        <Button submit kind="accept" off={props.action.busy}>
          {trans.__('Ask')}
        </Button>
        <Button onClick={props.close}>{trans.__('Cancel')}</Button>
      </div>
    </form>
  );
}

interface IFieldProps {
  name: string;
  label: string;
  value: string;
  wrong: string;
  write: (value: string) => void;
  long?: boolean;
  narrow?: boolean;
}

function Field(props: IFieldProps): JSX.Element {
  const id = React.useId();
  const shared = {
    id,
    name: props.name,
    value: props.value,
    required: true,
    spellCheck: props.long ?? false,
    autoComplete: 'off',
    'aria-invalid': props.wrong ? true : undefined,
    'aria-describedby': props.wrong ? `${id}-wrong` : undefined
  };
  return (
    <div className="jp-sandbox-field" data-narrow={props.narrow || undefined}>
      <label htmlFor={id}>{props.label}</label>
      {props.long ? (
        <textarea
          {...shared}
          rows={2}
          maxLength={LONGEST}
          onChange={event => props.write(event.target.value)}
        />
      ) : (
        <input {...shared} type="text" onChange={event => props.write(event.target.value)} />
      )}
      {props.wrong && (
        <span id={`${id}-wrong`} className="jp-sandbox-wrong">
          {props.wrong}
        </span>
      )}
    </div>
  );
}

/** What is wrong with each field; empty where nothing is. The server checks again, and more. */
function useWrong(fields: IFields): IFields {
  const { trans } = usePanel();
  const host = fields.host.trim();
  const port = Number(fields.port);
  return {
    host:
      host === ''
        ? trans.__('Write the name of a host, like data.example.org.')
        : /[\s/@]/.test(host) || host.length > 253
          ? trans.__('Only the name: no scheme, path or port.')
          : '',
    port: Number.isInteger(port) && port > 0 && port < 65536 ? '' : trans.__('A number from 1 to 65535.'),
    why: fields.why.trim() === '' ? trans.__('Say what it is for.') : ''
  };
}
