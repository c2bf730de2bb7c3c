//! Every text of the pages, in English and Russian.
//!
//! A text without its translation does not compile. Counted things are [`Noun`]s, because Russian
//! has three forms of them. Log lines, names of files and the API's own words stay as they are.

/// A language of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lang {
    En,
    Ru,
}

impl Lang {
    /// Its code, as HTML and cookies name it.
    pub fn code(self) -> &'static str {
        match self {
            Lang::En => "en",
            Lang::Ru => "ru",
        }
    }

    /// The language of a code.
    pub fn of(code: &str) -> Option<Lang> {
        match code {
            "en" => Some(Lang::En),
            "ru" => Some(Lang::Ru),
            _ => None,
        }
    }

    /// The texts in it.
    pub fn texts(self) -> &'static Texts {
        match self {
            Lang::En => &EN,
            Lang::Ru => &RU,
        }
    }

    /// One of two texts: for sentences that need more than a constant.
    pub fn pick<T>(self, en: T, ru: T) -> T {
        match self {
            Lang::En => en,
            Lang::Ru => ru,
        }
    }
}

/// What is counted: one, many; in Russian одна, две, пять.
#[derive(Clone, Copy, Debug)]
pub struct Noun {
    en: [&'static str; 2],
    ru: [&'static str; 3],
}

pub const LINKS: Noun =
    Noun { en: ["link", "links"], ru: ["связь", "связи", "связей"] };
pub const FILES: Noun =
    Noun { en: ["file", "files"], ru: ["файл", "файла", "файлов"] };
pub const PAIRS: Noun = Noun { en: ["pair", "pairs"], ru: ["пара", "пары", "пар"] };
pub const ROWS: Noun =
    Noun { en: ["row", "rows"], ru: ["строка", "строки", "строк"] };
pub const NOTICES: Noun = Noun {
    en: ["notice", "notices"],
    ru: ["замечание", "замечания", "замечаний"],
};
pub const FINDINGS: Noun = Noun {
    en: ["finding", "findings"],
    ru: ["замечание", "замечания", "замечаний"],
};
pub const ANALYSES: Noun = Noun {
    en: ["analysis", "analyses"],
    ru: ["анализ", "анализа", "анализов"],
};

impl Noun {
    /// The form that goes with a count.
    pub fn form(self, lang: Lang, count: u64) -> &'static str {
        match lang {
            Lang::En if count == 1 => self.en[0],
            Lang::En => self.en[1],
            Lang::Ru => match (count % 10, count % 100) {
                (1, hundred) if hundred != 11 => self.ru[0],
                (2..=4, hundred) if !(12..=14).contains(&hundred) => self.ru[1],
                _ => self.ru[2],
            },
        }
    }
}

macro_rules! texts {
    ($($key:ident: $en:literal, $ru:literal;)*) => {
        /// The texts of one language.
        pub struct Texts {
            $(pub $key: &'static str,)*
        }

        static EN: Texts = Texts { $($key: $en,)* };
        static RU: Texts = Texts { $($key: $ru,)* };
    };
}

/// Texts that scripts need: they find them in the page, as JSON.
macro_rules! script_texts {
    ($($key:ident: $en:literal, $ru:literal;)*) => {
        /// The texts for scripts, key and text.
        pub fn script_texts(lang: Lang) -> Vec<(&'static str, &'static str)> {
            match lang {
                Lang::En => vec![$((stringify!($key), $en),)*],
                Lang::Ru => vec![$((stringify!($key), $ru),)*],
            }
        }
    };
}

// The block of the scripts in static/js.
script_texts! {
    // Lags, as `format::lag` writes them.
    js_lag_before: "{span} before", "за {span} до";
    js_lag_after: "{span} after", "через {span} после";
    js_lag_same: "at the same time", "в тот же момент";

    // Upload.
    js_chosen: "Files chosen: {count}, {size}", "Выбрано файлов: {count}, {size}";
    js_dictionary: "dictionary", "справочник";
    js_log: "log", "лог";
    js_remove: "Remove", "Убрать";
    js_remove_file: "Remove {name}", "Убрать {name}";
    js_removed: "Removed: {name}", "Убран файл {name}";
    js_fault_kind: "wrong kind of file; these are read: {endings}",
        "такие файлы не читаются; можно: {endings}";
    js_fault_empty: "the file is empty", "файл пуст";
    js_fault_large: "larger than {size}, the most that can be uploaded",
        "больше {size} — столько загрузить нельзя";
    js_fault_none: "Choose at least one log file.", "Выберите хотя бы один файл логов.";
    js_fault_count: "{count} log files are too many: at most {most} can be uploaded at once. Pack them into a .zip.",
        "Файлов логов слишком много: {count}, а за раз можно не больше {most}. Упакуйте их в .zip.";
    js_fault_total: "Together the files have {size}; at most {most} can be uploaded at once.",
        "Вместе в файлах {size}, а за раз можно загрузить не больше {most}.";
    js_sending_starts: "Sending …", "Отправка …";
    js_sending: "Sent: {sent} of {total}", "Отправлено: {sent} из {total}";
    js_sending_done: "All is sent. Waiting for the answer …", "Всё отправлено. Ждём ответа …";
    js_sending_cancelled: "Sending was cancelled.", "Отправка отменена.";
    js_sending_failed: "The connection broke before all was sent. Try again.",
        "Соединение прервалось раньше, чем всё было отправлено. Попробуйте снова.";
    js_sending_refused: "The server refused the files (status {status}).",
        "Сервер не принял файлы (код {status}).";

    // Progress.
    js_job_starts: "Starting …", "Начинаем …";
    js_job_waiting: "Waiting for a turn. Analyses ahead: {ahead}", "Ждёт очереди. Анализов впереди: {ahead}";
    js_job_reading: "Reading the logs: {read} of {total}", "Чтение логов: {read} из {total}";
    js_job_matching: "Understanding messages: {done} of {total}", "Разбор смысла сообщений: {done} из {total}";
    js_job_linking: "Linking …", "Поиск связей …";

    // Result.
    js_table_loaded: "Links shown: {rows}", "Показаны связи: {rows}";
    js_table_failed: "The table could not be loaded.", "Не удалось загрузить таблицу.";
    js_selected: "Link {number} is selected in the table.", "В таблице выбрана связь {number}.";
    js_evidence_opened: "The evidence is open below the row.", "Основания открыты под строкой.";
    js_evidence_closed: "The evidence is closed.", "Основания закрыты.";
    js_timeline_failed: "The timeline could not be loaded. The table has the same links.",
        "Не удалось загрузить шкалу времени. Те же связи есть в таблице.";
    js_timeline_empty: "No link to show.", "Показать нечего: связей нет.";
    js_timeline_all: "Links: {links}, events: {events}, each drawn by itself.",
        "Связей: {links}, событий: {events}, каждое нарисовано отдельно.";
    js_timeline_grouped: "Links: {links}, events: {events}. Neighbours are drawn together: the larger a mark, the more \
        events it stands for. Zoom in to tell them apart.",
        "Связей: {links}, событий: {events}. Соседние нарисованы вместе: чем крупнее значок, тем больше за ним \
        событий. Приблизьте, чтобы различить их.";
    js_timeline_zoomed: "Shown are links whose problem lies from {from} to {to}.",
        "Показаны связи, проблема которых лежит от {from} до {to}.";
    js_timeline_summary: "Timeline of {links} links between {events} events on {lanes} lanes, from {from} to {to}. \
        The table below has the same links.",
        "Шкала времени. Связей: {links}, событий: {events}, дорожек: {lanes}; от {from} до {to}. Те же связи есть в \
        таблице ниже.";
    js_anomaly: "Anomaly", "Аномалия";
    js_problem: "Problem", "Проблема";
    js_anomalies: "Anomalies", "Аномалии";
    js_problems: "Problems", "Проблемы";
    js_group_of: "{count} together", "вместе {count}";
    js_link: "Link", "Связь";
    js_links_group: "Links: {count}", "Связей: {count}";
    js_lag_axis_days: "days from anomaly to problem", "дней от аномалии до проблемы";
    js_lag_axis_hours: "hours from anomaly to problem", "часов от аномалии до проблемы";
    js_lag_axis_minutes: "minutes from anomaly to problem", "минут от аномалии до проблемы";
    js_lag_axis_seconds: "seconds from anomaly to problem", "секунд от аномалии до проблемы";
    js_lag_median: "median {lag}", "медиана {lag}";
    js_lag_summary: "Histogram of the lags of {links} links. Their median is {median}.",
        "Распределение задержек. Связей: {links}, медиана: {median}.";

    // Live.
    js_pause: "Pause", "Пауза";
    js_resume: "Go on", "Продолжить";
    js_new_links: "New links: {count}", "Новых связей: {count}";
    js_ok: "works", "работает";
    js_not_ok: "fails", "не работает";
    js_live_connected: "Connected: new links come up by themselves.", "Соединение есть: новые связи появляются сами.";
    js_live_reconnecting: "The connection is lost. Trying again …", "Связь с сервером потеряна. Пробуем снова …";
    js_live_paused: "Paused. New since then: {count}", "Пауза. Новых за это время: {count}";
}

texts! {
    // Every page.
    skip: "Skip to content", "К содержанию";
    menu: "Pages", "Страницы";
    nav_upload: "Analyse", "Анализ";
    nav_live: "Live", "Поток";
    nav_dictionary: "Dictionary", "Справочник";
    language: "Language", "Язык";
    theme: "Theme", "Оформление";
    theme_light: "Light", "Светлое";
    theme_dark: "Dark", "Тёмное";
    theme_auto: "As the system", "Как в системе";
    footer: "Foreshock finds the warnings that come before the errors.",
        "Foreshock находит предупреждения, которые предшествовали ошибкам.";
    needs_script: "This part needs JavaScript.", "Для этой части нужен JavaScript.";
    anomaly: "Anomaly", "Аномалия";
    problem: "Problem", "Проблема";
    search: "Search", "Найти";
    previous: "Previous", "Назад";
    next: "Next", "Далее";
    first: "First page", "В начало";
    last: "Last page", "В конец";
    pages: "Pages of the table", "Страницы таблицы";
    utc: "UTC", "UTC";
    detail: "What the service said", "Что ответил сервис";

    // Upload.
    upload_title: "Find the warnings before the errors",
        "Найдите предупреждения, предвещавшие ошибки";
    upload_lead: "Give Foreshock the logs of an incident. It recognises known problems in ERROR lines \
        and known anomalies in WARNING lines, by meaning and not by wording, and shows which warnings \
        announced which errors.",
        "Дайте Foreshock логи инцидента. Он узнаёт известные проблемы в строках ERROR и известные \
        аномалии в строках WARNING — по смыслу, а не по формулировке — и показывает, какие \
        предупреждения предвещали какие ошибки.";
    upload_logs: "Logs", "Логи";
    upload_drop: "Drop files here, or choose them", "Перетащите файлы сюда или выберите";
    upload_logs_hint: ".txt, .log, or .zip and .gz of them; UTF-8, cp1251 or UTF-16",
        ".txt, .log или .zip и .gz с ними; UTF-8, cp1251 или UTF-16";
    upload_dictionary: "Your own dictionary", "Свой справочник";
    optional: "optional", "необязательно";
    upload_dictionary_hint: "A .csv with these columns:", "Файл .csv с такими столбцами:";
    upload_dictionary_columns: "anomaly_id;anomaly;problem_id;problem",
        "ID аномалии;Аномалия;ID проблемы;Проблема";
    upload_default: "Without one, the server's is used:", "Без него берётся справочник сервера:";
    upload_default_away: "Without one, the server's dictionary is used.",
        "Без него берётся справочник сервера.";
    upload_send: "Find the links", "Найти связи";
    upload_sending: "Sending …", "Отправка …";
    upload_cancel: "Cancel", "Отменить";
    chosen: "Chosen files", "Выбранные файлы";
    sample_title: "New here?", "Впервые здесь?";
    sample_text: "Four days of logs of nine machines come with Foreshock: see what it finds in them.",
        "К Foreshock приложены логи девяти машин за четыре дня: посмотрите, что он в них найдёт.";
    sample_send: "Try it with sample data", "Попробовать на примере";
    line_title: "What a log line looks like", "Как выглядит строка лога";
    line_text: "A time, a level, a component and a message. ERR, CRITICAL and FATAL count as ERROR, WARN \
        as WARNING; all other lines are counted and passed over. A time without offset is read in the \
        server's zone, UTC unless set.",
        "Время, уровень, компонент и сообщение. ERR, CRITICAL и FATAL считаются за ERROR, WARN — за \
        WARNING; остальные строки пропускаются, но учитываются в итогах. Время без смещения читается в \
        часовом поясе сервера, по умолчанию UTC.";
    how_title: "What happens to your files", "Что происходит с файлами";
    how_text: "They go to your own Foreshock server and nowhere else. They are removed with the result, \
        at the time the result page tells.",
        "Они попадают только на ваш сервер Foreshock и никуда больше. Их удаляют вместе с результатом — \
        когда именно, сказано на странице результата.";
    limits_lead: "At most", "Не больше";

    // Progress.
    progress_title: "Analysing", "Идёт анализ";
    progress_queued: "Waiting for a turn", "Ждёт очереди";
    progress_lead: "The links come up here by themselves. You may close this page: its address stays good.",
        "Связи появятся здесь сами. Страницу можно закрыть: адрес останется верным.";
    progress_noscript: "This page reloads itself every two seconds.",
        "Страница перезагружается сама каждые две секунды.";
    progress_cancel: "Cancel the analysis", "Отменить анализ";
    progress_reading: "Reading the logs", "Чтение логов";
    progress_texts: "Understanding distinct messages", "Разбор смысла сообщений";

    // Faults.
    failed_title: "The analysis failed", "Анализ не удался";
    failed_do: "Correct what is named above and upload again. Files that are damaged in part can be \
        analysed with",
        "Исправьте то, что названо выше, и загрузите снова. Частично повреждённые файлы можно разобрать \
        командой";
    cancelled_title: "The analysis was cancelled", "Анализ отменён";
    cancelled_do: "Nothing of it is kept. Upload again whenever you like.",
        "От него ничего не осталось. Загрузить файлы снова можно в любой момент.";
    expired_title: "This result is not here", "Такого результата нет";
    expired_do: "Results are removed after a while, and when the service restarts. Upload the logs again: \
        equal logs give an equal result.",
        "Результаты через некоторое время удаляются, как и при перезапуске сервиса. Загрузите логи снова: \
        одинаковые логи дают одинаковый результат.";
    missing_title: "There is no such page", "Такой страницы нет";
    missing_do: "Check the address, or begin at the upload page.",
        "Проверьте адрес или начните со страницы загрузки.";
    away_title: "The analysis service does not answer", "Сервис анализа не отвечает";
    away_do: "Check that the backend runs and that API_BASE names it, then reload this page. It was asked at",
        "Проверьте, что backend запущен и API_BASE указывает на него, затем перезагрузите страницу. Адрес запроса:";
    starting_title: "The analysis service is starting", "Сервис анализа запускается";
    starting_do: "Its model is not ready yet. Reload this page in a moment.",
        "Модель ещё не готова. Перезагрузите страницу чуть позже.";
    token_title: "The analysis service does not know this frontend", "Сервис анализа не признал этот frontend";
    token_do: "Give frontend and backend the same API_TOKEN.",
        "Задайте одинаковый API_TOKEN для frontend и backend.";
    refused_title: "That cannot be done", "Так не получится";
    refused_do: "Correct what is named here, and try again.", "Исправьте то, что здесь названо, и попробуйте снова.";
    to_upload: "To the upload page", "К странице загрузки";
    reload: "Reload", "Перезагрузить";

    // Result.
    result_none: "No links found", "Связей не найдено";
    result_summary: "Summary", "Итоги";
    tile_problems: "Problems with links", "Проблемы со связями";
    tile_files: "Files", "Файлы";
    tile_lines: "Lines", "Строки";
    tile_events: "Events", "События";
    tile_seconds: "Analysed in", "Время анализа";
    tile_matched_problems: "ERROR events recognised", "Распознано событий ERROR";
    tile_matched_anomalies: "WARNING events recognised", "Распознано событий WARNING";
    of: "of", "из";
    model: "Model", "Модель";
    matcher: "Matcher", "Сопоставитель";
    threshold: "Text threshold", "Порог текста";
    pair_threshold: "Pair threshold", "Порог пары";
    off: "off", "выключен";
    window: "Window", "Окно";
    dictionary: "Dictionary", "Справочник";
    dictionary_own: "uploaded", "загружен";
    dictionary_servers: "the server's", "серверный";
    share: "Share this page by its address. It lives until", "Этой страницей можно поделиться, дав её адрес. Она доступна до";
    download: "Download", "Скачать";
    files_title: "Files, one by one", "Файлы по одному";
    file: "File", "Файл";
    bytes: "Size", "Размер";
    errors: "ERROR", "ERROR";
    warnings: "WARNING", "WARNING";
    others: "Other", "Прочие";
    skipped: "Passed over", "Пропущено";
    skipped_why: "Lines that are no events: blank, without a time, without a level, or with a time that does not exist",
        "Строки, которые не являются событиями: пустые, без времени, без уровня или с несуществующим временем";
    none_text: "No known problem had a known anomaly within the window. That is an answer too, if the dictionary \
        knows your systems. If it surprises you:",
        "Ни у одной известной проблемы нет известной аномалии в пределах окна. Это тоже ответ, если справочник \
        знает ваши системы. Если он удивляет:";
    none_events: "Look at the events counted above: no ERROR or no WARNING events means that lines were not read \
        as you expect.",
        "Посмотрите на число событий выше: если нет ни ERROR, ни WARNING, строки прочитаны не так, как вы ждёте.";
    none_dictionary: "Look whether the dictionary knows these messages:",
        "Проверьте, знает ли справочник эти сообщения:";
    none_try: "try a message", "проверить сообщение";
    none_window: "Try a wider window or a lower threshold:",
        "Попробуйте окно шире или порог ниже:";
    timeline_title: "Timeline", "Шкала времени";
    timeline_by: "Lanes by", "Дорожки по";
    timeline_by_file: "file", "файлам";
    timeline_by_component: "component", "компонентам";
    timeline_reset: "Whole time", "Всё время";
    timeline_hint: "Drag to zoom into a span of time, click an event to find its row below.",
        "Выделите отрезок мышью, чтобы приблизить; щёлкните событие, чтобы найти его строку ниже.";
    lags_title: "How long before", "За сколько до";
    lags_hint: "Time from the anomaly to the problem, over all links shown. Negative: the warning came after.",
        "Время от аномалии до проблемы по всем показанным связям. Меньше нуля — предупреждение пришло позже.";
    links_title: "Links", "Связи";
    filter_title: "Filter", "Отбор";
    filter_q: "Text", "Текст";
    filter_q_hint: "in messages and dictionary texts", "в сообщениях и текстах справочника";
    filter_problem: "Problem id", "ID проблемы";
    filter_anomaly: "Anomaly id", "ID аномалии";
    filter_file: "File", "Файл";
    filter_component: "Component", "Компонент";
    filter_from: "From (UTC)", "С (UTC)";
    filter_to: "To (UTC)", "По (UTC)";
    filter_score: "Least score", "Оценка не ниже";
    filter_limit: "Rows a page", "Строк на странице";
    filter_all: "all", "все";
    filter_apply: "Apply", "Применить";
    filter_clear: "Clear", "Сбросить";
    filter_more: "More filters", "Ещё условия";
    filter_bad: "This filter cannot be used", "Такой отбор невозможен";
    no_match: "No link passes this filter.", "Ни одна связь не проходит отбор.";
    incomplete: "The result has more links than this page looks at: only the first 100,000 are filtered and sorted here. \
        The downloads have them all.",
        "Связей больше, чем просматривает эта страница: отбор и порядок касаются только первых 100 000. \
        В скачиваемых файлах есть все.";
    sort_by: "Sort by", "Упорядочить:";
    col_time: "Problem at", "Время проблемы";
    col_lag: "Warned", "Предупреждение";
    col_anomaly_time: "Anomaly at", "Время аномалии";
    col_where: "Where", "Где";
    col_score: "Score", "Оценка";
    show_evidence: "Evidence", "Основания";

    // Evidence.
    evidence_title: "Why these two belong together", "Почему эти два события связаны";
    evidence_back: "Back to all links", "Ко всем связям";
    evidence_context: "Lines around it", "Строки вокруг";
    evidence_no_context: "The lines around it cannot be read any more.", "Строки вокруг уже недоступны.";
    evidence_this: "this event", "это событие";
    evidence_as_written: "as written", "в логе";
    evidence_score: "Score", "Оценка";
    evidence_runner_up: "Runner-up", "Ближайший конкурент";
    evidence_no_runner_up: "none", "нет";
    evidence_why: "Why it passed", "Почему связь прошла";
    evidence_permanent: "Permanent id", "Постоянный id";
    exact: "exact text", "точный текст";

    // Live.
    live_title: "Live", "Поток";
    live_lead: "Links as they are found in the log stream, newest first.",
        "Связи по мере нахождения в потоке логов, новые сверху.";
    live_rate: "Lines a second", "Строк в секунду";
    live_lag: "Behind", "Отставание";
    live_links: "Links", "Связи";
    live_per_minute: "Links a minute", "Связей в минуту";
    live_pause: "Pause", "Пауза";
    live_filter: "Show only links with", "Показывать только связи с";
    live_sources: "Sources", "Источники";
    live_source: "Topic", "Топик";
    live_lines: "Lines", "Строки";
    live_events: "Events", "События";
    live_events_why: "ERROR and WARNING lines", "Строки ERROR и WARNING";
    live_last: "Last event", "Последнее событие";
    live_parts: "Parts", "Части";
    live_no_links: "No link yet. Links come up here as soon as they are found.",
        "Связей пока нет. Они появятся здесь, как только найдутся.";
    live_noscript: "Without JavaScript this page shows the newest links of the moment it was loaded.",
        "Без JavaScript страница показывает последние связи на момент загрузки.";
    live_away: "Recent links cannot be had from the service.", "Сервис не отдаёт последние связи.";
    ok: "works", "работает";
    not_ok: "fails", "не работает";

    // Dictionary.
    dictionary_title: "Dictionary", "Справочник";
    dictionary_lead: "Known anomalies, and the problems they announce.",
        "Известные аномалии и проблемы, которые они предвещают.";
    dictionary_q: "Search in both texts", "Искать в обоих текстах";
    dictionary_none: "No pair has this text.", "Нет пары с таким текстом.";
    dictionary_row: "Row", "Строка";
    try_title: "Try a message", "Проверить сообщение";
    try_label: "A message, or a whole log line", "Сообщение или целая строка лога";
    try_hint: "See which text it would be taken for, and why. A line at ERROR or WARNING is judged on its side alone.",
        "Узнайте, за какой текст оно будет принято и почему. Строка уровня ERROR или WARNING сравнивается только со своей стороной.";
    try_send: "What does it match?", "Чему соответствует?";
    try_normalised: "What is compared", "Что сравнивается";
    try_nothing: "(nothing is left)", "(ничего не осталось)";
    try_problem_side: "As a problem (ERROR)", "Как проблема (ERROR)";
    try_anomaly_side: "As an anomaly (WARNING)", "Как аномалия (WARNING)";
    try_exact: "Matches: it is the exact text.", "Соответствует: это точный текст.";
    try_near: "Matches: the nearest text reaches the threshold.", "Соответствует: ближайший текст достигает порога.";
    try_far: "No match: the nearest text stays under the threshold.",
        "Не соответствует: ближайший текст ниже порога.";
    try_no_meaning: "No match: nothing to compare is left of the message, so only an exact text would match.",
        "Не соответствует: сравнивать нечего, подошёл бы только точный текст.";
    try_announces: "announces", "предвещает";
    try_announced_by: "announced by", "предвещают";
    try_threshold: "threshold", "порог";
    findings_title: "What the linter found", "Что нашла проверка";
    findings_none: "Nothing: the dictionary is in order.", "Ничего: справочник в порядке.";
    findings_away: "The findings cannot be had at the moment.", "Замечания сейчас недоступны.";
    severity_error: "error", "ошибка";
    severity_warning: "warning", "предупреждение";
    severity_note: "note", "примечание";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn russian_counts_have_three_forms() {
        for (count, form) in [
            (0, "связей"),
            (1, "связь"),
            (2, "связи"),
            (5, "связей"),
            (11, "связей"),
            (12, "связей"),
            (21, "связь"),
            (22, "связи"),
            (111, "связей"),
            (1001, "связь"),
        ] {
            assert_eq!(LINKS.form(Lang::Ru, count), form, "{count}");
        }
        assert_eq!(LINKS.form(Lang::En, 1), "link");
        assert_eq!(LINKS.form(Lang::En, 21), "links");
    }
}
